"""The sweep: every rotary family of the installed transformers, as its own attention rotates, against Tightrope.

discovery   which families have rotary code: read from the package's source, not from a list
settings    the few facts that the source does not show: configurations, ways of calling
driving     a family's own rotary module and its own apply function, as one function of q, k and positions
cases       family × configuration × rope type × layer type × positions
spelling    the same configuration as older files write it
agreement   what Tightrope gives, the tolerance, and what a disagreement says
report      the table `family · cases · agree · known difference · unsupported`
"""
