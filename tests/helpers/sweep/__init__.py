"""The sweep: every rotary family of the installed transformers, as its own attention rotates, against Tightrope.

Who is tried, and with what (subjects/):

discovery   which families have rotary code: read from the package's source, not from a list
settings    the few facts that the source does not show: configurations, ways of calling
variants    the rope types that a configuration is tried with, besides its own
published   keys of published files that a family's class reads otherwise
refusing    configurations of families that rotate nothing by token
cases       a rope of a configuration, and positions
collecting  all of them

What transformers does (theirs/):

driving     a family's own rotary module and its own apply function, as one function of q, k and positions
special     families whose attention wraps these in a way of its own
vision      towers: two or three position axes
tracing     what a whole model's attention does, seen on tensors without values
layering    which rope each layer has
attention   what position does besides rotating

What Tightrope makes of it:

spelling    the same configuration as older files write it
agreement   the comparison, its tolerance, and what a disagreement says
judging     one verdict per case, over spellings and backends
running     the sweep, run once per family and remembered
report      the table `family · cases · agree · known difference · unsupported`
"""
