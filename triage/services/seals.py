"""Whether a kit is as its appliance wrote it, and whose appliance that is."""

from __future__ import annotations

from dataclasses import dataclass

from detection import kit_seals
from detection.evidence import Read
from models_registry.models import Appliance, Customer
from models_registry.services import appliances
from triage.models import Seal


@dataclass(frozen=True, slots=True)
class Sealed:
    """What the signature of a kit says."""

    seal: Seal
    appliance: Appliance | None = None  # whose signature holds


def of(read: Read | None, customer: Customer) -> Sealed | None:
    """Return what the signature of a customer's kit says; None of other evidence."""
    if read is None or read.kit is None or not (told := read.kit.told):
        return None
    if not (name := kit_seals.named(told)):
        return Sealed(Seal.UNSIGNED)
    signer = appliances.known(name)
    if signer is None:
        return Sealed(Seal.UNKNOWN)
    if not kit_seals.holds(told, signer.public_key):
        return Sealed(Seal.BROKEN)
    if signer.site.customer_id != customer.pk:
        return Sealed(Seal.ANOTHER)  # whose, is not his to know
    return Sealed(Seal.SIGNED, signer)
