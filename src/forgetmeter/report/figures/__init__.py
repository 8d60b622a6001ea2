"""Charts of a run: declared with Vega-Altair, drawn as SVG and PNG when they are made, not when they are read."""
