# Results that were found damaged are made again before the run that was asked for is planned.

from snakemake.cli import get_argument_parser


def is_output(path):
    return any(output.match(path) for one in workflow.rules for output in one.output)


if workflow.is_main_process and not repairing():
    try:
        repair(
            FOUND,
            sys.argv[1:],
            parse=lambda arguments: vars(get_argument_parser().parse_args(arguments)),
            is_output=is_output,
        )
    except SdorError as error:
        print(f"sdor: {error}", file=sys.stderr)
        sys.exit(1)
