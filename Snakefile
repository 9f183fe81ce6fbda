# The workflow lives in workflow/; this file lets `snakemake` find it from the project's root.


include: "workflow/Snakefile"


rule default:
    default_target: True
    localrule: True
    input:
        rules.all.input,
