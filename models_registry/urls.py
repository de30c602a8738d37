"""Addresses of this room's pages."""

from django.urls import path

from models_registry.views import bundles, customers, detectors, gates, indicators, ledger, rollbacks, stages, versions

app_name = "models_registry"
urlpatterns = [
    path("models/", detectors.detectors, name="detectors"),
    path("models/new/", detectors.make_detector, name="make-detector"),
    path("models/new/preview/", detectors.preview_rules, name="preview-rules"),
    path("models/<slug:name>/change/", detectors.change_detector, name="change-detector"),
    path("models/<slug:name>/schedule/", detectors.change_schedule, name="change-schedule"),
    path("changes/<int:pk>/approve/", detectors.approve_change, name="approve-change"),
    path("changes/<int:pk>/decline/", detectors.decline_change, name="decline-change"),
    path("models/<slug:name>/", detectors.detector, name="detector"),
    path("models/<slug:name>/<int:number>/", versions.version, name="version"),
    path("models/<slug:name>/<int:number>/board/", versions.board, name="board"),
    path("models/<slug:name>/<int:number>/scores/", versions.scores, name="scores"),
    path("models/<slug:name>/<int:number>/against/<int:other>/", versions.against, name="against"),
    path("models/<slug:name>/<int:number>/propose/", stages.propose_stage, name="propose-stage"),
    path("proposals/<int:pk>/approve/", stages.approve_stage, name="approve-stage"),
    path("proposals/<int:pk>/decline/", stages.decline_stage, name="decline-stage"),
    path("models/<slug:name>/<int:number>/rollback/", rollbacks.roll_back, name="roll-back"),
    path("rollbacks/<int:pk>/review/", rollbacks.review_rollback, name="review-rollback"),
    path("gates/<int:pk>/", gates.gate, name="gate"),
    path("ledger/", ledger.ledger, name="ledger"),
    path("ledger/ran/", ledger.what_ran, name="what-ran"),
    path("ledger/<int:number>/", ledger.entry, name="ledger-entry"),
    path("indicators/", indicators.indicator_lists, name="indicators"),
    path("indicators/<slug:name>/", indicators.indicator_list, name="indicator-list"),
    path("indicators/<slug:name>/withdraw/", indicators.withdraw_indicators, name="withdraw-indicators"),
    path("customers/", customers.customers, name="customers"),
    path("customers/new/", customers.create_customer, name="create-customer"),
    path("customers/<int:pk>/sites/new/", customers.create_site, name="create-site"),
    path("bundles/", bundles.bundles, name="bundles"),
    path("bundles/<int:pk>/", bundles.bundle, name="bundle"),
]
