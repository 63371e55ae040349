"""The policy pack: `pulumi preview --policy-pack policies` runs this file, which serves the policies to the engine."""

import sys
from pathlib import Path

# The engine runs it from its folder, where the packages of the project are not on the path.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from policies.policies import POLICIES, Policy
from policies.resources import Declared


def _of_resource(policy: Policy) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        for words in policy.violations([Declared(args.resource_type, args.name, args.props)]):
            report(words, None)

    return ResourceValidationPolicy(policy.name, policy.description, validate)


def _of_stack(policy: Policy) -> StackValidationPolicy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        declared = [Declared(each.resource_type, each.name, each.props) for each in args.resources]
        for words in policy.violations(declared):
            report(words, None)

    return StackValidationPolicy(policy.name, policy.description, validate)


# It serves as soon as there is a pack.
if __name__ == "__main__":
    PolicyPack(
        name="mycrypto-monitoring",
        enforcement_level=EnforcementLevel.MANDATORY,
        policies=[_of_stack(policy) if policy.together else _of_resource(policy) for policy in POLICIES],
    )
