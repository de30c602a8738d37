"""Where each page lives."""

from django.urls import include, path

urlpatterns = [
    path("accounts/", include("allauth.account.urls")),
    path("", include("triage.urls")),
    path("", include("labeling.urls")),
    path("", include("models_registry.urls")),
    path("", include("traffic.urls")),
]
