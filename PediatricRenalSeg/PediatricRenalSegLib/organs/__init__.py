"""From the labels of a model to what a surgeon knows: organs and lesions with sides, surfaces and measurements."""
