"""Whether labels are right: against what was annotated, against what parameters can be, and before a build begins.

`plausible` refuses parameters that cannot be meant, sample by sample. `annotations` finds the annotated landmarks in a
crop, `annotated_rows` stores them beside the labels, and `label_columns` reads both back. `summary` says how far a
data set is from its annotations, and `causes` which single mistake would explain it. `survey` asks a few samples before
a build; `map_comparison` finds out by what another program divided its position maps.
"""
