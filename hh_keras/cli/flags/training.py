"""Flags: how a network is trained."""

from hh_keras.cli.flags.limits import parse_minutes
from hh_keras.flag import COUNT, SWITCH, Checked, Choice, Flag, Number, Text
from hh_keras.tasks import registry

OPTIMIZERS = ("sgd", "adam")
SCHEDULES = ("cosine", "step", "constant")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
DISTILLATIONS = ("none", "kd", "sp", "match")

TRAINING = (
    Flag("epochs", COUNT, 3, "Passes over the training images."),
    Flag("learning_rate", Number(float, above=0), 0.1, "The peak learning rate."),
    Flag(
        "lr_batch_size",
        Number(int, least=0),
        0,
        "The batch size that --learning_rate is meant for: with another --batch_size "
        "it is scaled linearly. 0: as it stands.",
    ),
    Flag("schedule", Choice(SCHEDULES), "cosine", "How the learning rate decays."),
    Flag("optimizer", Choice(OPTIMIZERS), "sgd", "What descends. Images: adam."),
    Flag("warmup_epochs", Number(float, least=0), 0.5, "Linear warm-up, in epochs."),
    Flag(
        "momentum", Number(float, 0, 0.999), 0.9, "Momentum of SGD, first beta of Adam."
    ),
    Flag("nesterov", SWITCH, False, "Use Nesterov's momentum."),
    Flag("weight_decay", Number(float, least=0), 1e-4, "Decay added to the gradient."),
    Flag(
        "decay_vectors",
        SWITCH,
        True,
        "Let biases and the weights of BatchNormalization decay too, as in the paper.",
    ),
    Flag("label_smoothing", Number(float, 0, 0.99), 0.0, "Share spread over classes."),
    Flag(
        "clip_norm",
        Number(float, least=0),
        0.0,
        "Gradients with a larger norm are scaled down to it; 0 for none.",
    ),
    Flag(
        "ema",
        Number(float, 0, 0.99999),
        0.0,
        "Momentum of a moving average of the weights, which is validated and kept in "
        "their stead (0.999 is usual); 0 for none.",
    ),
    Flag(
        "precision",
        Choice(PRECISIONS),
        "float32",
        "What layers compute in while training. Saved models are float32.",
    ),
    Flag(
        "sync_batch_norm",
        SWITCH,
        False,
        "BatchNormalization sees the whole batch, not a device's share of it.",
    ),
    Flag(
        "patience",
        Number(int, least=0),
        0,
        "End training when validation accuracy, or PSNR, has not risen for so many "
        "epochs; 0 for never.",
    ),
    Flag(
        "augment",
        Choice(registry.augmentations()),
        "none",
        "Random changes to training images: crop_flip suits small photographs, "
        "imagenet cuts out pieces of any size and flips, flip_rotate is for denoise "
        "and sr and turns patches, too.",
    ),
    Flag(
        "rand_augment",
        Number(int, least=0),
        0,
        "Further random operations per image, by RandAugment of keras-cv; 0 for none.",
    ),
    Flag("mixup", Number(float, least=0), 0.0, "Alpha of keras-cv's MixUp; 0: none."),
    Flag("cutmix", Number(float, least=0), 0.0, "Alpha of keras-cv's CutMix; 0: none."),
)

RECOVERY = (
    Flag(
        "recover",
        Checked(parse_minutes, "10m|1h|full"),
        None,
        "Train weights that were inherited so that they are not lost: gently, and "
        "never to something worse, in ten minutes, an hour, any such time, or --epochs "
        "(full). Default: full where the original is the teacher.",
    ),
    Flag(
        "frozen_statistics",
        SWITCH,
        False,
        "Train the network as it predicts: BatchNormalization by the statistics that "
        "it has, no dropout. For few images, or small batches. --recover: yes.",
    ),
)

DISTILLATION = (
    Flag(
        "teacher",
        Text("FILE"),
        None,
        "A trained model to learn from besides, a .keras or .h5 file.",
    ),
    Flag(
        "distill",
        Choice(DISTILLATIONS),
        None,
        "How: kd (its softened outputs), sp (which images it finds similar) or match "
        "(its outputs and the features that a smaller network has kept of it, by "
        "squared error). Default: match for inherited weights, whose original is then "
        "the teacher; kd with --teacher; otherwise none.",
    ),
    Flag(
        "distill_weight",
        Number(float, above=0),
        None,
        "Weight of the teacher's part. Default: the paper's, 0.4 for kd, 3000 for sp; "
        "1 for match, which leaves the labels out.",
    ),
    Flag("temperature", Number(float, above=0), 4.0, "How soft outputs are in kd."),
    Flag(
        "feature_weight",
        Number(float, least=0),
        3.0,
        "Weight of the features in match, beside the outputs; 0 for none.",
    ),
    Flag(
        "distill_layers",
        Text("LAYER[=LAYER],..."),
        "",
        "Layers whose features sp compares besides the outputs, as LAYER, or "
        "LAYER=TEACHERS_LAYER, separated by commas.",
    ),
)

RESUME = (
    Flag(
        "checkpoint_steps",
        COUNT,
        500,
        "Steps from one checkpoint to the next; there is also one after every epoch.",
    ),
    Flag(
        "resume",
        SWITCH,
        True,
        "Go on where the same run was stopped; --noresume trains from the start.",
    ),
    Flag(
        "on_nan",
        Choice(("stop", "rollback")),
        "stop",
        "When the loss is NaN or infinite: stop, or go back to the last checkpoint and "
        "on with half the learning rate, up to five times.",
    ),
    Flag(
        "epoch_models",
        SWITCH,
        True,
        "Write epoch_models/NAME_best.keras (by validation accuracy, or PSNR) and "
        "NAME_last.keras after every epoch.",
    ),
    Flag(
        "tensorboard",
        SWITCH,
        False,
        "Write scalars, scale histograms and channel pictures to tensorboard/NAME.",
    ),
)
