"""Charts of a run, declared with Vega-Altair and drawn as SVG and PNG when the report is written."""
