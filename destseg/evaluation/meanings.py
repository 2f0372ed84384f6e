"""The metrics by name, with what each says to someone who does not compute it."""

from destseg.evaluation.ranking import PRO_LIMIT

MEANINGS = {
    "image_auroc": ("Image AUROC", "how often a defect image scores above a normal one; 0.5 is chance"),
    "pixel_auroc": ("Pixel AUROC", "the same for defective and normal pixels"),
    "pixel_ap": ("Pixel AP", "how pure the marked area is, averaged over how much of the defects it covers"),
    "iap": ("IAP", "how pure the marked area is, averaged over how many of the defects are found"),
    "iap90": ("IAP@90", "how pure the marked area is once 90\u00a0% of the defects are found"),
    "pro": (
        "PRO",
        f"how much of each defect is covered, while up to {100 * PRO_LIMIT:.0f}\u00a0% of normal pixels are marked",
    ),
    "image_f1_max": ("Image F1-max", "balance of found and falsely rejected images at the best threshold in hindsight"),
    "pixel_f1_max": ("Pixel F1-max", "the same for defective and normal pixels"),
}
