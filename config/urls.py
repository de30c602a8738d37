"""Where each page lives."""

from django.urls import include, path

from accounts.views import set_language

urlpatterns = [
    path("", include("labeling.urls")),  # its first address is asked for most of all
    path("api/v1/", include("config.api")),  # machines ask often: behind all pages, 260 patterns came first
    path("", include("accounts.urls")),
    path("", include("accounts.sign_in_urls")),
    path("language/", set_language, name="set_language"),
    path("", include("triage.urls")),
    path("", include("models_registry.urls")),
    path("", include("traffic.urls")),
    path("", include("jobs.urls")),
]

handler400 = "config.errors.bad_request"
handler403 = "config.errors.permission_denied"
handler404 = "config.errors.page_not_found"
handler429 = "config.errors.too_many_requests"  # read by allauth
handler500 = "config.errors.server_error"
