"""Errors of area 12: proofs, comparisons, tests, exports and checks of law before traffic."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP1201",
        "an assertion cannot be read",
        "An assertion names a region, group, data class, tenant or basis that the configuration does not have, or "
        "claims nothing. It would hold whatever the policy says.",
        "Correct the name, or take the assertion out.",
    ),
    ErrorSpec(
        "BP1202",
        "the policy tells too many requests apart",
        "The atoms, kinds of requests that the law tells apart, are more than one run goes through.",
        "Ask about less: a shorter time (`--from`, `--until`), or fewer packs.",
    ),
    ErrorSpec(
        "BP1210",
        "a test proves nothing",
        "A case expects nothing, a file has no case, or a request says what the configuration does not read: whatever "
        "the policy says, the test would pass.",
        "Say what shall hold, or take the case out.",
    ),
    ErrorSpec(
        "BP1211",
        "too many cases",
        "The lists under `each` multiply: the cases of one file are more than one run goes through.",
        "Split the file, or let `borderpost policy prove` go through all kinds of requests.",
    ),
    ErrorSpec(
        "BP1212",
        "an acceptance cannot be read",
        "A file of accepted changes names a change twice: which reason and which date hold would be chance.",
        "Keep one of the two.",
    ),
    ErrorSpec(
        "BP1220",
        "the law cannot be exported",
        "The legal events are followed from a stream, and an export is a file: it would lack what the gateway knows, "
        "and allow more than the gateway does.",
        "Export from a configuration whose `events.file` is a copy of the list: `--set events.redis=null --set "
        "events.file=events.jsonl`.",
    ),
    ErrorSpec(
        "BP1221",
        "the folder of an export holds files of others",
        "OPA loads every file of a folder: a rule or a table beside the exported ones could change their answers.",
        "Export to a folder of its own; only tests of your own (`*_test.rego`) may be there too.",
    ),
    ErrorSpec(
        "BP1260",
        "nothing that `policy fmt` lays out",
        "It lays out YAML files that people write for Borderpost: other YAML has rules of its own, and a JSON file, "
        "such as a signed event, would no longer be JSON.",
        "Leave the file out.",
    ),
    ErrorSpec(
        "BP1261",
        "formatting would change the file's content",
        "What would have been written was read again and is not what the file says. This is a mistake of the program; "
        "nothing was written.",
        "Leave the file as it is, and report it with the file.",
    ),
    ErrorSpec(
        "BP1262",
        "a file could not be written",
        "The folder or the file cannot be written to, or the disk is full. What was there is as it was.",
        "Make room, or give this user the right to write there.",
    ),
    ErrorSpec(
        "BP1263",
        "a pack is not signed",
        "`pack_signatures` names people who release packs, and too few of them have signed this one. Law that nobody "
        "answers for is not put into force.",
        "Have it signed (`borderpost policy sign`), and deploy the file with the ending `.sig` beside the pack.",
    ),
    ErrorSpec(
        "BP1264",
        "the signatures are of another pack",
        "The file beside the pack is over other content, another version or another pack, or is no such file: the pack "
        "was changed after it was signed, or the two do not belong together.",
        "Deploy pack and signatures of one release, or have the pack signed as it is now.",
    ),
    ErrorSpec(
        "BP1265",
        "a pack cannot be signed",
        "It says something that two readers could take for two things: a number with a fraction, an empty value, or "
        "text that is not in Unicode normal form C.",
        "Write the value that the message names otherwise, or leave the key out.",
    ),
    ErrorSpec(
        "BP1266",
        "a file is there already",
        "`policy init` writes a new repository and overwrites nothing.",
        "Name another folder, or move the file away.",
    ),
    ErrorSpec(
        "BP1230",
        "a template is no manifest",
        "The file has `{{ }}` where values should be: it is a Helm chart's template, and says what it says only when "
        "it is rendered.",
        "Render it first: `helm template . | borderpost policy check -`.",
    ),
    ErrorSpec(
        "BP1231",
        "a file is not text",
        "The file has zero bytes in it. A plan as Terraform saves it (`-out`) is an archive.",
        "Give the plan as JSON: `terraform show -json plan.out > plan.json`.",
    ),
    ErrorSpec(
        "BP1232",
        "a merge key without a mapping",
        "`<<` joins another mapping into the one where it stands.",
        "Let it name an anchor of a mapping, or a list of them.",
    ),
    ErrorSpec(
        "BP1233",
        "a plan that cannot be read",
        "The file has the marks of a Terraform plan, and no values in the format that is read (1.x).",
        "Make it with `terraform show -json` of a plan or a state.",
    ),
    ErrorSpec(
        "BP1234",
        "nobody knows these subjects",
        "`--subjects` takes codes of places (`DE`, `CA-QC`), groups of the policy (`EEA`), or `*`.",
        "Correct the name; `borderpost packs show base` lists groups.",
    ),
    ErrorSpec(
        "BP1235",
        "nobody knows this place",
        "`--cluster` takes a region of the configuration, a region of AWS, Azure or Google Cloud, or a place's code.",
        "Correct the name, or add the region to the configuration.",
    ),
    ErrorSpec(
        "BP1236",
        "nobody knows this rule",
        "`--select` and `--ignore` take ids of rules, such as BPM001.",
        "Correct the id; the guide on manifests lists them.",
    ),
    ErrorSpec(
        "BP1250",
        "nothing of that name to lose",
        "No region says that this operator runs it, or the name is neither a place's code nor a group of the policy. "
        "Taking nothing away would show that nothing is lost.",
        "Correct the name; operators are named by `operator.entity` of regions.",
    ),
    ErrorSpec(
        "BP1251",
        "the event cannot be supposed",
        "The legal event is in the list already, ends an event that the list does not have, or does not hold at the "
        "instant that is looked at.",
        "Correct the event, or choose another instant with `--at`.",
    ),
    ErrorSpec(
        "BP1252",
        "the traffic cannot be read",
        "A line of the traffic is no request, has neither a count nor a rate that can be added to the others, or says "
        "what the configuration does not read.",
        "Correct the line.",
    ),
    ErrorSpec(
        "BP1253",
        "the log does not verify",
        "What the log says cannot be relied on: a record was changed, is missing, or an input is not what it was.",
        "Look at it with `borderpost verify`; `--unverified` goes on with what can be read.",
    ),
    ErrorSpec(
        "BP1254",
        "no decision to go by",
        "The log has no decision for which law was asked in the time that is looked at.",
        "Choose another time with `--from` and `--to`, or another log.",
    ),
    ErrorSpec(
        "BP1255",
        "too many kinds of requests",
        "Workloads times what the law tells apart are more than one run weighs against every loss.",
        "Ask about less: a shorter time (`--from`, `--to`), or fewer workloads.",
    ),
)
