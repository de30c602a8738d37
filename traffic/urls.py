"""Addresses of this room's pages."""

from django.urls import path

from traffic import views

app_name = "traffic"
urlpatterns = [
    path("traffic/", views.intakes, name="intakes"),
    path("traffic/upload/", views.upload, name="upload"),
    path("traffic/upload/<int:pk>/", views.upload_state, name="upload-state"),
    path("traffic/upload/<int:pk>/cancel/", views.cancel_upload, name="cancel-upload"),
    path("traffic/<int:pk>/quarantine/", views.quarantine, name="quarantine"),
    path("traffic/<int:pk>/quarantine/replay/", views.replay_quarantine, name="replay-quarantine"),
    path("traffic/<int:pk>/quarantine/download/", views.download_quarantine, name="download-quarantine"),
]
