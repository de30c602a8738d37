"""Addresses of this room's pages."""

from django.urls import path

from triage import risk_views, views

app_name = "triage"
urlpatterns = [
    path("", views.home, name="home"),
    path("home/", views.home_state, name="home-state"),
    path("bar/", views.top_bar, name="top-bar"),
    path("search/", views.search, name="search"),
    path("design/", views.design, name="design"),
    path("health/", views.health, name="health"),
    path("health/page/", views.health_page, name="health-page"),
    path("health/live/", views.health_live, name="health-live"),
    path("complaints/", views.complaints, name="complaints"),
    path("complaints/new/", views.file_complaint, name="file-complaint"),
    path("complaints/preview/", views.preview_complaint, name="preview-complaint"),
    path("complaints/<int:pk>/", views.complaint, name="complaint"),
    path("complaints/<int:pk>/flips/", views.flips, name="flips"),
    path("complaints/<int:pk>/information/", views.add_information, name="add-information"),
    path("complaints/<int:pk>/publish/", views.publish_fix, name="publish-fix"),
    path("complaints/<int:pk>/tell/", views.tell_customer, name="tell-customer"),
    path("risk/", risk_views.organisations, name="risk"),
    path("risk/new/", risk_views.make_organisation, name="make-organisation"),
    path("risk/entities/<int:pk>/", risk_views.entity, name="entity"),
    path("risk/entities/<int:pk>/picture/", risk_views.entity_picture, name="entity-picture"),
    path("risk/entities/<int:pk>/place/", risk_views.place_entity, name="place-entity"),
    path("risk/<slug:slug>/", risk_views.organisation, name="organisation"),
    path("risk/<slug:slug>/budget/", risk_views.change_budget, name="change-budget"),
]
