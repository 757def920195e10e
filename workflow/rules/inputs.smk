# What jobs read and how they are set: input functions and parameters of the studies.
SYNTHETIC_RECORDINGS = 1797  # one of each of the digits, if all are asked for

# Minutes of an epoch of ResNet-18: on CIFAR-10 in float32, and on ImageNet at 64 pixels in bfloat16.
EPOCH_MIN = {"cifar10": 0.75, "imagenet64": 8}
RESNET50 = 2.5  # multiplications over those of ResNet-18, for images as small


def accelerator(section):
    """Resources that ask a cluster for a GPU (Slurm: gres, PBS: ngpus), where a section of the configuration names one."""
    return {"gres": "gpu:1", "ngpus": 1} if section.get("device") == "cuda" else {}


def trials_mb():
    """Memory, in MB, of a job that reads all trials of the crossbar."""
    return 1000 + config["crossbar"]["trials"] // 2


def training_minutes(usual, name, model, epochs):
    """Minutes that a cluster grants a job: `usual`, but at least those of so many epochs on a data set.

    Estimated for networks of the published size on one GPU, not measured.
    """
    epoch = EPOCH_MIN.get(name, EPOCH_MIN["cifar10"]) * (RESNET50 if model == "resnet50" else 1)
    return max(usual, math.ceil(epochs * epoch))


def regularised_minutes(usual, section, count):
    """Minutes of a job of regularised training with so many networks a seed, see `training_minutes`."""
    epochs = REGULARISED["seeds"] * count * REGULARISED[section]["epochs"]
    return training_minutes(usual, REGULARISED["dataset"], REGULARISED["model"], epochs)


def headline_minutes(usual):
    """Minutes of the headline study, see `training_minutes`."""
    own = REGULARISED["headline"]
    counts = {"qat": len(own["methods"]), "faults": FAULT_MODES, "variability": VARIABILITY_METHODS}
    epochs = sum(count * (own["epochs"] or REGULARISED[name]["epochs"]) for name, count in counts.items())
    epochs *= REGULARISED["seeds"] * len(own["bits"])
    return training_minutes(usual, NETWORKS["dataset"], NETWORKS["architecture"], epochs)


def network_minutes(wildcards):
    """Minutes of the training of a network for the crossbars, or of one beside it, see `training_minutes`."""
    recipe = recipe_of(wildcards)
    course = recipe["noise"] if wildcards.get("network", "float") != "float" else recipe["float"]
    epochs = course["epochs"] + course.get("averaging", {"epochs": 0})["epochs"]
    return training_minutes(600, NETWORKS["dataset"], recipe["architecture"], epochs)


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
    check_room(wildcards)
    folder = "firmware/training" if wildcards.format in OTHER_WIDTHS else "training"
    return result(f"{folder}/{wildcards.format}/networks.pt")


def check_room(wildcards):
    """Refuse widths that no program has room for, before hours of training rather than after them."""
    widths = settings_for(wildcards)["widths"]
    classes = len(data.SPECS[TRAINING["dataset"]].class_names)
    sizes = [fit.IMAGE_PIXELS, *(fit.pruned(width, TRAINING["prune_share"]) for width in widths), classes]
    for kernel in [wildcards.kernel] if "kernel" in wildcards.keys() else fit.LAYOUTS:
        if reason := fit.refusal(wildcards.format, kernel, sizes):
            raise WorkflowError(
                f"{reason}: name narrower ones in firmware.widths.{wildcards.format}, or ask for targets without "
                "firmware and flash"
            )


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
    return {key: NETWORKS[key] for key in DESCRIBED_BY if key not in without} | {"deployment": deployment}


def clippings(formats):
    """Clippings chosen for these formats."""
    return {name: choice for name, choice in TRAINING["clipping"].items() if name in formats}


def format_settings(wildcards):
    """Training settings of a format."""
    return NETWORK_SETTINGS | {"clipping": clippings([wildcards.format])}


def settings_for(wildcards):
    """Training settings of a format's program."""
    return format_settings(wildcards) | {"widths": WIDTHS.get(wildcards.format, TRAINING["widths"])}


def study_settings(study):
    """Training settings of a study, with what its own section says otherwise."""
    return {key: study.get(key, value) for key, value in NETWORK_SETTINGS.items()}


def of_one_map(section):
    """Settings of the jobs on stuck cells: each is of one width and one share of cells stuck at 1."""
    return {key: value for key, value in section.items() if key not in ("bits", "p_stuck1")}


def besides_headline(section):
    """What the headline study takes from the section of another study: what it does not say itself."""
    said = {key for key in ("epochs", "learning_rate") if REGULARISED["headline"][key] is not None}
    said |= {"bits", "rates", "p_stuck1", "sigmas"}
    return {key: value for key, value in REGULARISED[section].items() if key not in said}


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
