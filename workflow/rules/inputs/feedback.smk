# What the rules of feedback.smk ask for.

FEEDBACK = STUDY.feedback


def rounds_of(name):
    return [f"{RUN}/feedback/round{r}/{name}" for r in range(1, FEEDBACK.rounds + 1)]


def last_iteration(wildcards, name):
    """A file of the last iteration."""
    return f"{RUN}/iteration{METHODS[wildcards.variant].iterations}/{name}".format(**wildcards)


def marked_before(wildcards):
    """The marks of the rounds before."""
    return [f"{RUN}/feedback/round{r}/marks.parquet" for r in range(1, int(wildcards.round))]


def round_before(wildcards, name):
    """A file of the round before; before the first round, of the last iteration."""
    r = int(wildcards.round)
    if r == 1:
        return last_iteration(wildcards, name)
    return f"{RUN}/feedback/round{r - 1}/{name}".format(**wildcards)
