"""focuslab report"""

import click

from focuslab.cli.options import PATH, report_errors


@click.command("report", short_help="One page of what runs found.")
@click.argument("paths", nargs=-1, required=True, metavar="DIR...", type=PATH)
@click.option("--out", type=PATH, help="HTML file.  [default: report.html in DIR]")
@click.option("--quiet", "-q", is_flag=True, help="Do not say what was left out.")
@report_errors
def command(paths, out, quiet):
    """One HTML file of any run directories: profiles, captures, plans with their validation, evaluations, clips.

    Every DIR is looked through with all that lies in it; runs of several models are put side by side. The file is whole
    in itself: it opens from disk and asks no other for anything. Nothing but --out is written, and what is damaged in a
    run is left out and named.
    """
    from focuslab.report.html.write import default_name, write_report

    written, page = write_report(paths, out or default_name(paths))
    if not quiet:
        for gap in page.sections[-1].gaps:
            click.echo(f"not shown: {gap}", err=True)
    click.echo(written)
