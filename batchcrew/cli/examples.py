"""The examples in the help of each command, with their effects. Imports nothing."""

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "run": (
        ("run leads.yaml", "Start the batch of a job file, or resume it."),
        (
            "run leads.csv --crew-url https://my-crew.example.com --limit 3",
            "Run three rows of a file, without a job file.",
        ),
        ("run leads.yaml --concurrency auto --max-runtime 55m -q", "From cron, each hour: print only what needs you."),
        ("run leads.yaml --retry-failed", "Run the failed jobs again, then the rest."),
    ),
    "tick": (("tick leads.yaml -q", "From cron, each minute, instead of one long run."),),
    "check": (
        ("check leads.yaml", "Print what a run would do and cost."),
        ("check leads.yaml --offline --json", "The same without a request to the crew, for a program."),
    ),
    "doctor": (
        ("doctor https://my-crew.example.com", "Examine a deployed crew; pay nothing."),
        ("doctor leads.yaml --kickoff", "Pay for one kickoff, and watch it to its end."),
    ),
    "init": (("init https://my-crew.example.com", "Write a job file and a CSV with the crew's inputs as columns."),),
    "status": (
        ("status", "Show the batch that ran last."),
        ("status leads --watch", "Follow a run in another terminal until it ends."),
    ),
    "ui": (
        ("ui --open", "Open the live page of all batches in this machine's browser."),
        ("ui --port 8765", "Serve it on a fixed port, to forward over ssh."),
    ),
    "report": (
        ("report leads", "Write the report as leads.html, next to the ledger."),
        ("report leads -f md", "Print it for a chat or a pull request."),
    ),
    "compare": (("compare leads-2026-11-27 leads-2026-11-28", "Show what differs between two batches."),),
    "pause": (
        ("pause leads --reason 'the crew is being deployed'", "Start no more jobs; a run watches those in progress."),
    ),
    "unpause": (("unpause leads", "Start jobs again."),),
    "set": (
        ("set leads concurrency=50 rate=2/s", "Change limits, also of the run in progress."),
        ("set leads --reset", "Use the values of the job file again."),
    ),
    "cancel": (
        ("cancel leads tokyo kyoto", "Cancel two jobs."),
        ("cancel leads --yes", "Cancel every job that has not ended, without a prompt."),
    ),
    "stop": (("stop leads", "End the run, as Ctrl-C in its terminal does."),),
    "list": (("list", "List all batches with their costs."),),
    "show": (("show leads tokyo", "Show a job with its attempts, tasks and output."),),
    "failures": (("failures leads", "Show why jobs failed, and how to retry each kind."),),
    "retry": (
        ("retry leads", "Reset all failed jobs; the next run starts them."),
        ("retry leads --fingerprint 1a2b3c4d5e6f", "Reset the jobs of one failure group."),
        ("retry leads tokyo", "Reset one job."),
    ),
    "keep": (("keep leads", "Accept the answers of all stale jobs."),),
    "judge": (("judge leads --dry-run", "Show which answers the rules of `accept:` would reject."),),
    "recheck": (("recheck leads", "Look again for executions that timed out or were lost."),),
    "inbox": (
        ("inbox leads", "Show what waits for you."),
        ("inbox leads -f csv -o inbox.csv", "Write it as a sheet, to be filled in."),
    ),
    "answer": (
        ("answer leads tokyo --approve", "Approve the output of one job."),
        ("answer leads tokyo --reject --feedback 'shorter, please'", "Reject it, and say what to change."),
        ("answer leads --csv inbox.csv", "Send the decisions of a sheet."),
    ),
    "attach": (("attach leads tokyo 1f2e3d4c", "Watch this execution as the attempt of the job."),),
    "adopt": (
        ("adopt leads.yaml --csv started.csv", "Watch executions that a script has started, instead of paying again."),
    ),
    "runs": (("runs leads", "List the runs of a batch, the newest first."),),
    "export": (
        ("export leads -o results.csv", "Write each row of the file with its answer."),
        ("export leads -f json -o results.json", "Write the answers as JSON."),
    ),
    "backup": (("backup leads-backup.db", "Copy the ledger while runs use it."),),
    "upgrade": (("upgrade", "Upgrade the ledger to the schema of this version."),),
    "delete": (("delete leads --yes", "Delete a batch with its answers, without a prompt."),),
    "vacuum": (("vacuum", "Return the space of deleted batches to the disk."),),
    "serve": (
        ("serve demo --execution-time 30s --fail-rate 5%", "Rehearse with a crew that costs nothing."),
        ("serve my_project.crew:TravelCrew --workers 4", "Serve your crew with four worker processes."),
    ),
    "listen": (("listen leads --webhook-listen 127.0.0.1:8787", "Receive webhooks until Ctrl-C."),),
    "schema": (("schema > batchcrew.schema.json", "Write the schema to a file, for your editor."),),
    "completion": (("completion bash > ~/.local/share/bash-completion/completions/batchcrew", "Install it for bash."),),
    "man": (("man | man -l -", "Read the manual."),),
}
