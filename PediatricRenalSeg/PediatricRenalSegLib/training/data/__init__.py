"""Patients to train on: data sets, how they are checked, and the store of their slices."""
