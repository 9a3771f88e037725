"""What the statistics of a comparison are; imported by `gatelab compare --help`, which computes none of them."""

from gatelab.analysis.reading.saturation import ABOVE, BELOW

# What each statistic is and where it comes from, one line each: for `gatelab compare --help`.
EXPLANATIONS = {
    "test score": "mean over n seeds on the scale of the task (as it is, logarithm, log odds) with its 95% interval (Student "
    "1908), where the task declares that scores scatter around one value",
    "median": "else; its 95% interval, from the smallest to the largest of 5 seeds, the 2nd to the 9th of 10 (Thompson 1936); none "
    "for fewer",
    "all tasks": "IQM and mean of (score - chance) / (solved - chance) over the runs of all tasks (Agarwal et al. 2021); without "
    "an interval: a bootstrap of so few seeds covers less than it says; rank: mean rank of the medians, with Nemenyi's critical "
    "difference from five tasks on (Demsar 2006); better/alike/worse: how probable it is that on a task like these the variant's "
    "median is better than the baseline's, within 5% of the way from chance to solved, or worse (Bayesian signed-rank test, "
    "Benavoli et al. 2017)",
    "difference, ratio": "to the baseline, with the interval that holds together with those of all other comparisons: what the "
    "test does not reject; a ratio of scores on a log scale, of odds on a logit scale; time ratio: the factor by which times to "
    "solve are longer (accelerated failure times, Wei 1992)",
    "p": "two-sided, adjusted over all variants and tasks (Dunnett; Bonferroni), as the interval is; better or worse where "
    "p < 0.05. The test: Dunnett's (1955), on the scale, where scores scatter around one value; else the exact log-rank test "
    "(Mantel 1966) of the times to solve, where some but not all runs solve the task; else the exact rank test of the scores "
    "(Mann & Whitney 1947), diverged runs last",
    "P(better)": "probability that a run beats one of the baseline, by what is compared; 95% interval from 4 seeds on, of times "
    "to solve from 6 (Newcombe 2006)",
    "r": "--paired: correlation of the scores of equal seeds; Student's t or Wilcoxon's exact test on their differences",
    "effect": "difference in pooled standard deviations on the scale, without bias (Hedges 1981); of Dunnett's test; csv and json",
    "solved": "runs whose validation score reaches the solved level (or --level) before their budget ends, with the exact 95% "
    "interval of their share (Clopper & Pearson 1934)",
    "steps to solve": "until that validation: mean of min(steps, shortest budget of the task), the restricted mean of Kaplan and "
    "Meier (1958), with a 95% interval from 3 runs on (Susarla & Van Ryzin 1976; simulated coverage 93% and more); --time seconds: "
    "of training without validation; --time flops: of all forward passes",
    "FLOPs": "of one time step of one sequence, forward, counted from the equations",
    "s/step, seconds": "wall clock of an optimiser step and of a whole run",
    "saturated": "share of gate activations below trainer.saturated_below or above trainer.saturated_above "
    f"({BELOW:g} and {ABOVE:g} if not given; Karpathy et al. 2015)",
    "sparkline": "validation score over training, mean over seeds; same axes for all rows of a task, log over a factor of ten",
}
