"""PySide6 widgets that look and behave like the CTK and MRML widgets that the panels use."""
