"""The networks of HA-GAN (Sun et al., IEEE JBHI 2022), in torch alone."""
