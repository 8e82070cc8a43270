"""The documentation as a site: `make docs`. Pages are Markdown; the reference is read from the running package."""

from importlib.metadata import version as version_of

project = "crdtkv"
author = copyright = "the crdtkv authors"
version = release = version_of("crdtkv")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["notebooks"]  # read as notebooks

myst_heading_anchors = 3
default_role = "code"  # `x` in a docstring

autodoc_default_options = {"members": True, "inherited-members": "dict,list,tuple,Mapping,MutableMapping"}
autodoc_member_order = "groupwise"
autodoc_typehints = "signature"
autoclass_content = "class"

html_theme = "furo"
html_title = f"crdtkv {release}"
html_copy_source = False
copybutton_prompt_text = ">>> |\\.\\.\\. |\\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
