"""The six roles. One account has one role, so that two approvals are always two accounts."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    EXPERT = "expert", _("security expert")
    SENIOR = "senior", _("senior expert")
    SUPPORT = "support", _("customer support")
    ENGINEER = "engineer", _("ML engineer")
    ADMINISTRATOR = "administrator", _("administrator")
    AUDITOR = "auditor", _("auditor")


EXPERTS = (Role.EXPERT, Role.SENIOR)
EVERYBODY = tuple(Role)
READERS = tuple(role for role in Role if role != Role.SUPPORT)  # of traffic and models; support has its customers
