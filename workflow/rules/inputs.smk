# What jobs read and how they are set: input functions and parameters of the studies.
SYNTHETIC_RECORDINGS = 1797  # one of each of the digits, if all are asked for


def accelerator(section):
    """Resources that ask a cluster for a GPU (Slurm: gres, PBS: ngpus), where a section of the configuration names one."""
    return {"gres": "gpu:1", "ngpus": 1} if section.get("device") == "cuda" else {}


def trials_mb():
    """Memory, in MB, of a job that reads all trials of the crossbar."""
    return 1000 + config["crossbar"]["trials"] // 2


def images_mb(name, usual):
    """Memory, in MB, of a job with a data set: `usual`, but ImageNet's million images are read as one array."""
    return 100_000 if name == "imagenet64" else usual


def events_mb(bytes_of_value, usual):
    """Memory, in MB, of a job with the frames of every recording at so many bytes a value, as an input function."""
    events = config["spiking"]["events"]
    values = 2 * events["steps"] * events["size"] ** 2

    def memory(wildcards):
        count = events["recordings"] or len(event_files(wildcards)) or SYNTHETIC_RECORDINGS
        return usual + count * values * bytes_of_value // 10**6

    return memory


def event_files(wildcards):
    """Name, size and class of each recording of an event camera, as found, else as recorded; an error if they are missed."""
    made = Path(result("spiking/events/frames.npz"))
    source = config["spiking"]["events"]["source"]
    try:
        found = recordings.source_files(source, DATA_ROOT, required=not made.exists())
    except data.DataError as error:
        raise WorkflowError(str(error)) from None
    return found if found or source == SYNTHETIC else recordings.recorded_files(made)


def images(name):
    """Inputs of a job that uses a data set: its manifest, and the arrays whatever their time stamp."""
    return {"manifest": dataset(name, "manifest.json"), "arrays": ancient(dataset(name))}


def trials_of(wildcards):
    """First and one past the last trial of a shard; shards differ by one trial at most."""
    trials = config["crossbar"]["trials"]
    return [trials * (int(wildcards.shard) + step) // SHARDS for step in (0, 1)]


def shards(folder):
    """Paths of every shard of a table."""
    return [result(f"crossbar/{folder}/part-{shard:04d}.parquet") for shard in range(SHARDS)]


def tables_of(figure):
    """Tables a figure's notebook reads, by the name of its parameter."""
    return {name: result(path) for name, path in FIGURES[figure].items()}


def published_tables():
    """Tables that the list of published values is compared with."""
    with open(ROOT / "config/published.csv", newline="", encoding="utf-8") as file:
        return sorted({row["table"] for row in csv.DictReader(file) if row["table"]})


def network_folder(name):
    """Folder of the float network, or of one of the others."""
    return name if name == "float" else f"others/{name}"


def networks_before(wildcards):
    """What a training starts from: the network that it goes on from, and teachers' lessons."""
    start = "float" if wildcards.get("network", "float") != "float" else None
    if other := wildcards.get("other"):
        start = OTHERS[other].get("continued")
    before = {}
    if start:
        before["initial"] = result(f"networks/{network_folder(start)}/network.pt")
    # Those that are fine-tuned with noise have no teacher.
    full_precision = wildcards.get("network", "float") == "float"
    if full_precision and recipe_of(wildcards)["float"]["taught"]:
        before["lessons"] = rules.teacher_lessons.output[0]
    return before


def chips_of(wildcards):
    """First and one past the last chip of a shard."""
    return chip_shard(CHIPS["chips"], CHIPS["shards"], int(wildcards.shard))


def trained_for(wildcards):
    """Networks of a format at the widths of its program."""
    if TRAINING["per_channel"]:
        raise WorkflowError(
            "training.per_channel = true: firmware and flash need one scale a layer; set it to false, or ask for "
            "targets without them"
        )
    folder = "firmware/training" if wildcards.format in OTHER_WIDTHS else "training"
    return result(f"{folder}/{wildcards.format}/networks.pt")


def recipe_of(wildcards):
    """Settings that the training of one network depends on: of those for chips, of another, or of a teacher."""
    if teacher := wildcards.get("teacher"):
        return TEACHERS[teacher]
    noise = ["noise"] if wildcards.get("network", "float") != "float" else []
    used = {key: NETWORKS[key] for key in [*DESCRIBED_BY, "float", *noise]}
    if other := wildcards.get("other"):
        used = other_section(used, OTHERS[other])
    return used | ({"distillation": NETWORKS["distillation"]} if used["float"]["taught"] else {})


def threads_of(recipe):
    """Threads of the training in full precision with these settings."""
    return recipe["float"]["threads"] or NETWORKS["threads"]


def in_full_precision(file):
    """A file of the folder of each network trained in full precision."""
    folders = [
        "float",
        *(f"others/{other}" for other in OTHERS),
        *(f"teachers/{teacher}" for teacher in TEACHERS),
    ]
    return [result(f"networks/{folder}/{file}") for folder in folders]


def chip_settings(without=("chips", "shards")):
    """Settings that the simulation of one chip depends on."""
    deployment = {key: value for key, value in CHIPS.items() if key not in without}
    return {key: NETWORKS[key] for key in DESCRIBED_BY} | {"deployment": deployment}


def settings_for(wildcards):
    """Training settings of a format's program."""
    return NETWORK_SETTINGS | {"widths": WIDTHS.get(wildcards.format, TRAINING["widths"])}


def no_such_target(wildcards):
    """Nothing: name what was meant by a target that does not exist."""
    names = sorted(rule.name for rule in workflow.rules if not rule.has_wildcards())
    near = difflib.get_close_matches(wildcards.misspelt, names, cutoff=0.7)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    raise WorkflowError(f"no target is called {wildcards.misspelt}; {meant}`nonideal list` names all of them")


def tables_behind():
    """Every table that is shown or that a figure is drawn from."""
    drawn = {path for tables in FIGURES.values() for path in tables.values()}
    return [result(path) for path in sorted({*TABLES.values(), *drawn})]
