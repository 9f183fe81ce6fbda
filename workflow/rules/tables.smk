# evaluation ─ findings ─ tables.

TABLE_NAMES = ("table1", "table2", "localisation", "feedback", "rates", "ablations")
PAPER_TABLES = [
    *expand("results/tables/{name}.{suffix}", name=TABLE_NAMES, suffix=["csv", "md", "tex"]),
    *expand("results/tables/comparisons.{suffix}", suffix=["csv", "md"]),
]
TABLES = [
    *PAPER_TABLES,
    *expand("results/tables/auc.{suffix}", suffix=["csv", "md", "tex"]),
    *expand("results/tables/stages.{suffix}", suffix=["csv", "md"]),
]
# The paper's own figures, and the settings that they stand beside.
REPORTED = [
    file_sha256(PROJECT / "workflow" / name)
    for name in ("report/reported.csv", "schemas/method.schema.yaml")
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
        STUDY_FILES["metrics"],
    output:
        csv="results/tables/auc.csv",
        md="results/tables/auc.md",
        tex="results/tables/auc.tex",
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
            "reported": REPORTED,
            "not_run": PLAN.not_run,
        },
    script:
        "../scripts/tables.py"


rule paper_tables:
    input:
        paths_in(STUDY_FILES),
    output:
        PAPER_TABLES,
    log:
        "results/logs/paper_tables.log",
    benchmark:
        "results/benchmarks/paper_tables.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        stage={
            "code": code_of("sdor.reporting.paper_tables"),
            "versions": versions_of("numpy", "pandas"),
            "reported": REPORTED,
            "files": STUDY_FILES,
            "asked": ASKED,
        },
    script:
        "../scripts/paper_tables.py"
