# evaluation ─ findings ─ tables.

TABLE_NAMES = (
    "auc",
    "table1",
    "table2",
    "events",
    "localisation",
    "feedback",
    "rates",
    "ablations",
)
PRINTED = [
    *expand("results/tables/{name}.{suffix}", name=TABLE_NAMES, suffix=["csv", "md", "tex"]),
    *expand("results/tables/comparisons.{suffix}", suffix=["csv", "md"]),
]
TABLES = [*PRINTED, *expand("results/tables/stages.{suffix}", suffix=["csv", "md"])]
# The paper's own values, and the settings that they stand beside.
REPORTED = [
    file_sha256(PROJECT / "workflow" / name)
    for name in ("report/reported.csv", "schemas/method.schema.yaml")
]
# Words and layout of tables.
LAYOUT = [
    file_sha256(PROJECT / "workflow/report" / name)
    for name in ("tables.yaml", "tables.md.j2", "tables.tex.j2")
]
STUDY_FILES = judged(STUDY)


rule findings:
    input:
        paths_in(STUDY_FILES),
    output:
        "results/findings.parquet",
    log:
        "results/logs/findings.log",
    benchmark:
        "results/benchmarks/findings.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        stage={
            "code": code_of("sdor.reporting.findings"),
            "versions": versions_of("numpy", "pandas"),
            "reported": REPORTED,
            "files": STUDY_FILES,
            "plan": PLAN.as_document(),
        },
    script:
        "../scripts/findings.py"


rule tables:
    input:
        "results/findings.parquet",
    output:
        PRINTED,
    log:
        "results/logs/tables.log",
    benchmark:
        "results/benchmarks/tables.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        stage={
            "code": code_of("sdor.reporting.tables"),
            "versions": versions_of("pandas", "jinja2"),
            "reported": REPORTED,
            "layout": LAYOUT,
        },
    script:
        "../scripts/tables.py"
