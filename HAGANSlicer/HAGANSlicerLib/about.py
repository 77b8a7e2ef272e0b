"""What Slicer's module list, help and acknowledgement say."""

from __future__ import annotations

from slicer.i18n import tr as _

CATEGORY = "Image Synthesis"
CONTRIBUTORS = ["The HAGANSlicer authors"]


def help_text():
    """Return the module's help as HTML."""
    return _("""
<p>Generates, encodes, steers and trains 3D medical volumes with hierarchical amortized GANs (HA-GAN).
Nothing is sent anywhere; the network is used only when you click Install or Download.</p>
<p><b>Synthetic volumes are not for diagnosis.</b> Every one of them is marked as synthetic and keeps what is
needed to make it again: seed or latent, model, versions.</p>
<ol><li><b>Generate</b>: choose a model, click Generate.</li>
<li><b>Encode</b>: choose a loaded chest CT, click Encode; the reconstruction lies over the CT.</li>
<li><b>Explore</b>: drag a slider, such as lung volume; volume, outlines and measured millilitres
follow.</li></ol>
<p>In Python: <code>slicer.util.getModuleLogic("HAGANSlicer").generate(seed=1)</code>.</p>
<p>Please cite: Sun L., Chen J., Xu Y., Gong M., Yu K., Batmanghelich K. Hierarchical Amortized GAN for
3D High Resolution Medical Image Synthesis. IEEE J Biomed Health Inform 26(8):3966-3975, 2022.
<a href="https://doi.org/10.1109/JBHI.2022.3172976">doi 10.1109/JBHI.2022.3172976</a></p>
""")


def acknowledgement_text():
    """Return the module's acknowledgement as HTML."""
    return _("""
<p>Implements the method of Sun et al. (IEEE JBHI 2022) independently of its authors. Licence: Apache-2.0.</p>
""")
