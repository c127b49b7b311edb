"""Better, scored boxes for small objects from a frozen vision-language model. `import glintbox` costs no torch."""

__version__ = "0.1.0"
