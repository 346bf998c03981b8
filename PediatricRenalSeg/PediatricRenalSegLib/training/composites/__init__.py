"""Composites: real scans with the kidneys and tumors of other patients. They are renal by nature."""
