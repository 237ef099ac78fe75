"""From a page to code: namespace (symbols) -> graph (Program) -> stages -> printers."""
