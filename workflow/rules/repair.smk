# Results that were found damaged are made again before the run that was asked for is planned.

from sdor.running.repair import repair

VIEWS = {method.view for method in METHODS.values()}


def is_output(path):
    """Whether a rule makes a path, for this study."""
    made = [(one.name, output.match(path)) for one in workflow.rules for output in one.output]
    return any(match and is_of_study(name, **match.groupdict()) for name, match in made)


def is_of_study(
    rule_name,
    scene=None,
    clip=None,
    variant=None,
    backbone=None,
    view=None,
    seed=None,
    t=None,
    round=None,
    **_,
):
    """Whether the study has a job with these wildcards."""
    pooled = scene is None
    return (
        (clip is None or clip in clip_names(scene))
        and (variant is None or variant in (METHODS if pooled else STUDY.variants_of(scene)))
        and (backbone is None or backbone in WEIGHTS)
        and (view is None or view in VIEWS or view.startswith("160x120-grey"))
        and (seed is None or int(seed) in STUDY.seeds)
        and (t is None or int(t) <= METHODS[variant].iterations)
        and (round is None or int(round) <= STUDY.feedback.rounds)
        and not (rule_name == "cuts" and SCENES[scene].joined is None)
        and not (rule_name == "render" and SCENES[scene].demo is None)
    )


if workflow.is_main_process and not repairing():
    try:
        repair(
            FOUND,
            sys.argv[1:],
            OPTIONS,
            parse=options_of,
            is_output=is_output,
            state_folder=STATE,
        )
    except SdorError as error:
        say(str(error))
        sys.exit(1)
