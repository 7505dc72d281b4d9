"""The files of a cleared day, one module a format; FILES.md describes them byte by byte."""
