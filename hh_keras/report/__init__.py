"""Pictures and a page that show what became of a network.

`write_report` takes the results of a run, one plain dict that JSON can hold:

    title      what was shrunk, on which data
    command    the command line that does it again
    dataset    name, classes (list of str), num_train, num_validation,
               image_shape ([height, width, channels], or a list of such); any further
               key, such as source, licence or text, is shown as it is
    goal       key of the task's goal: "accuracy", "psnr"
    budget     macs, params: limits in absolute counts, None for none;
               macs_flag, params_flag: as they were given, e.g. "0.95x"
    search     criterion, batches, per_cost, width_mult, min_keep, round_to, weights,
               seed, seconds
    kept       with inherited weights: share of the output that is left before training,
               agreement (share of the images with the same answer, or None), examples
               and held_out, and layers: name → share of its outputs
    sweep      of --sweep: a row for each network, the original first: share that was
               asked for, macs, params, kept, agreement, goal
    protocol   the fields of `hh_keras.training.Recipe`; epochs_run, where they were
               not the protocol's: network to number
    models     {"original": network, "lw_dna": network}, each with
        macs, params               whole network, one example
        layers                     list of {name, type, macs, params}, in network order
        channels                   layer name to its number of output channels
        accuracy, accuracy_top5    on the validation images, 0 to 1
        loss                       on the same images
        psnr, ssim, psnr_input     with goal "psnr", in place of accuracy: dB, and of
                                   the images before they are restored
        keras_bytes, tflite_bytes  file sizes
        latency_ms                 {median, p10, p90} of the .tflite file, one image;
                               of LW-DNA also ratio_p25, ratio_p75: the middle half
                               of its rounds divided by the original's
        train_seconds              sum over the epochs
        discarded                  whether training did not make it better, so that it
                                   has the weights of before
    layer_times
               where latency rose: the fields of `hh_keras.latency.LayerTime`, a dict
               for each layer whose counts changed
    history    {"original": rows, "lw_dna": rows}, one dict per epoch: epoch, loss,
               accuracy, val_loss, val_accuracy (or psnr, val_psnr)
    parity, parity_original
               of the files of LW-DNA and of the original: kind of file to the fields
               of `hh_keras.export.Parity`
    versions   package to version
    seconds    stage of the run to what it took
    skipped    images that could not be read: place to reason

Required are `models` and, of each network, macs, params, layers and channels. All
else may be missing or None and is then shown as a dash or left out.
"""

from hh_keras.report.channels import plot_channels
from hh_keras.report.comparison import Row, caution, compare, verdict
from hh_keras.report.cost import plot_cost
from hh_keras.report.curves import plot_curves
from hh_keras.report.html import render, write_report
from hh_keras.report.kept import plot_kept
from hh_keras.report.slower import cause, lengthened
from hh_keras.report.style import Picture, png
from hh_keras.report.summary import plot_summary
from hh_keras.report.sweep import plot_sweep

__all__ = [
    "Picture",
    "Row",
    "caution",
    "cause",
    "compare",
    "lengthened",
    "plot_channels",
    "plot_cost",
    "plot_curves",
    "plot_kept",
    "plot_summary",
    "plot_sweep",
    "png",
    "render",
    "verdict",
    "write_report",
]
