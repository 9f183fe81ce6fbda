# The workflow lives in workflow/; this file lets `snakemake` find it from the project's root.


include: "workflow/Snakefile"


rule default:
    default_target: True
    input:
        rules.all.input,
    localrule: True
