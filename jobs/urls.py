"""Addresses of this room's pages."""

from django.urls import path

from jobs import views

app_name = "jobs"
urlpatterns = [
    path("jobs/", views.jobs, name="jobs"),
    path("jobs/live/", views.live, name="live"),
    path("jobs/<int:pk>/", views.job, name="job"),
    path("jobs/<int:pk>/state/", views.state, name="state"),
    path("jobs/<int:pk>/cancel/", views.cancel, name="cancel"),
]
