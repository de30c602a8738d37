"""Addresses of this room's pages."""

from django.urls import path

from models_registry import views

app_name = "models_registry"
urlpatterns = [
    path("models/", views.detectors, name="detectors"),
    path("models/new/", views.make_detector, name="make-detector"),
    path("models/new/preview/", views.preview_rules, name="preview-rules"),
    path("models/<slug:name>/change/", views.change_detector, name="change-detector"),
    path("models/<slug:name>/schedule/", views.change_schedule, name="change-schedule"),
    path("changes/<int:pk>/approve/", views.approve_change, name="approve-change"),
    path("changes/<int:pk>/decline/", views.decline_change, name="decline-change"),
    path("models/<slug:name>/", views.detector, name="detector"),
    path("models/<slug:name>/<int:number>/", views.version, name="version"),
    path("models/<slug:name>/<int:number>/board/", views.board, name="board"),
    path("models/<slug:name>/<int:number>/scores/", views.scores, name="scores"),
    path("models/<slug:name>/<int:number>/against/<int:other>/", views.against, name="against"),
    path("models/<slug:name>/<int:number>/propose/", views.propose_stage, name="propose-stage"),
    path("proposals/<int:pk>/approve/", views.approve_stage, name="approve-stage"),
    path("proposals/<int:pk>/decline/", views.decline_stage, name="decline-stage"),
    path("gates/<int:pk>/", views.gate, name="gate"),
    path("indicators/", views.indicator_lists, name="indicators"),
    path("indicators/<slug:name>/", views.indicator_list, name="indicator-list"),
    path("indicators/<slug:name>/withdraw/", views.withdraw_indicators, name="withdraw-indicators"),
    path("customers/", views.customers, name="customers"),
    path("customers/new/", views.create_customer, name="create-customer"),
    path("customers/<int:pk>/sites/new/", views.create_site, name="create-site"),
    path("bundles/", views.bundles, name="bundles"),
    path("bundles/<int:pk>/", views.bundle, name="bundle"),
]
