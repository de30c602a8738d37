"""Addresses of this room's pages."""

from django.urls import path

from labeling import agreement_views, evidence_views, saved_queue_views, views

app_name = "labeling"
urlpatterns = [
    path("queues/", views.queues, name="queues"),
    path("queues/<slug:slug>/", views.queue, name="queue"),
    path("queues/saved/<int:pk>/", saved_queue_views.saved_queue, name="saved-queue"),
    path("queues/saved/<int:pk>/forget/", saved_queue_views.forget_queue, name="forget-queue"),
    path("queues/<slug:slug>/save/", saved_queue_views.save_queue, name="save-queue"),
    path("queues/<slug:slug>/work/", views.work, name="work"),
    path("items/<int:pk>/", views.item, name="item"),
    path("items/<int:pk>/claim/", views.claim_item, name="claim-item"),
    path("items/<int:pk>/label/", views.submit_label, name="submit-label"),
    path("items/<int:pk>/skip/", views.skip_item, name="skip-item"),
    path("items/<int:pk>/postpone/", views.postpone_item, name="postpone-item"),
    path("items/<int:pk>/take-back/", views.take_back_item, name="take-back-item"),
    path("items/<int:pk>/group/", views.group, name="group"),
    path("items/<int:pk>/release/", views.release_item, name="release-item"),
    path("items/<int:pk>/renew/", views.renew_claim, name="renew-claim"),
    path("items/<int:pk>/raw/", views.raw_record, name="raw-record"),
    path("items/<int:pk>/explanation/", evidence_views.explanation, name="explanation"),
    path("items/<int:pk>/neighbours/", evidence_views.neighbours, name="neighbours"),
    path("items/<int:pk>/spread/", evidence_views.spread, name="spread"),
    path("items/<int:pk>/host/", evidence_views.host, name="host"),
    path("answers/", views.answers, name="answers"),
    path("experts/", agreement_views.experts, name="experts"),
    path("experts/figures.csv", agreement_views.export_experts, name="export-experts"),
    path("postponed/", views.postponed_items, name="postponed"),
    path("labels/undo/", views.undo_label, name="undo-label"),
    path("models/<slug:detector>/retrain/", views.retrain, name="retrain"),
    path("models/<slug:detector>/retrain/state/", views.retrain_state, name="retrain-state"),
    path("proof/<slug:detector>/<int:number>/", views.proof, name="proof"),
    path("reference/<slug:detector>/", views.reference, name="reference"),
]
