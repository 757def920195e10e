from nonideal import code_map


def rows(root):
    return {name: rest for name, *rest in code_map.rows(root)}


def test_a_figure_leads_to_its_notebook_tables_rule_and_library(root):
    notebook, tables, rules, library = rows(root)["figure_4a"]
    assert notebook == "notebooks/figure_4a.ipynb"
    assert tables == "`crossbar/summary.parquet`, `crossbar/eq8_fit.parquet`"
    assert rules == "`crossbar_summary` in `crossbar.smk`"
    assert library == "`stats.py`, `pcm/analysis.py`"


def test_imports_below_a_condition_count(root):
    *_, library = rows(root)["table_networks_architectures"]
    assert library == "`pcm/network_analysis.py`, `pcm/network_training.py`"
