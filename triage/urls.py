"""Addresses of this room's pages."""

from django.urls import path

from triage import risk_views
from triage.views import complaints, customers, fixes, house, outbox

app_name = "triage"
urlpatterns = [
    path("", house.home, name="home"),
    path("home/", house.home_state, name="home-state"),
    path("bar/", house.top_bar, name="top-bar"),
    path("search/", house.search, name="search"),
    path("design/", house.design, name="design"),
    path("health/", house.health, name="health"),
    path("health/page/", house.health_page, name="health-page"),
    path("health/live/", house.health_live, name="health-live"),
    path("complaints/", complaints.complaints, name="complaints"),
    path("complaints/new/", complaints.file_complaint, name="file-complaint"),
    path("complaints/preview/", complaints.preview_complaint, name="preview-complaint"),
    path("complaints/figures/", customers.figures, name="figures"),
    path("complaints/<int:pk>/", complaints.complaint, name="complaint"),
    path("complaints/<int:pk>/flips/", complaints.flips, name="flips"),
    path("complaints/<int:pk>/stop-gaps/", complaints.stop_gaps, name="stop-gaps"),
    path("complaints/<int:pk>/stop-gaps/build/", complaints.build_stop_gap, name="build-stop-gap"),
    path("complaints/<int:pk>/ask/", complaints.ask_customer, name="ask-customer"),
    path("complaints/<int:pk>/information/", complaints.add_information, name="add-information"),
    path("complaints/<int:pk>/reject/", complaints.reject_complaint, name="reject-complaint"),
    path("complaints/<int:pk>/publish/", complaints.publish_fix, name="publish-fix"),
    path("complaints/<int:pk>/tell/", complaints.tell_customer, name="tell-customer"),
    path("complaints/<int:pk>/erase/", complaints.erase_complaint, name="erase-complaint"),
    path("complaints/attachments/<int:pk>/", complaints.attachment, name="attachment"),
    path("complaints/customers/<int:pk>/", customers.customer, name="customer"),
    path("complaints/customers/<int:pk>/promise/", customers.change_promise, name="change-promise"),
    path("complaints/servings/", customers.servings, name="servings"),
    path("complaints/servings/<int:pk>/end/", customers.end_serving, name="end-serving"),
    path("gates/<int:pk>/fixes/", fixes.gate_fixes, name="gate-fixes"),
    path("bundles/<int:pk>/fixes/", fixes.bundle_fixes, name="bundle-fixes"),
    path("outbox/", outbox.outbox_page, name="outbox"),
    path("outbox/<int:pk>/unsubscribe/", outbox.unsubscribe, name="unsubscribe"),
    path("outbox/<int:pk>/test/", outbox.test_subscription, name="test-subscription"),
    path("outbox/deliveries/<int:pk>/again/", outbox.send_again, name="send-again"),
    path("items/<int:pk>/draft.rules", outbox.draft_rule, name="draft-rule"),
    path("items/<int:pk>/misp.json", outbox.draft_event, name="draft-event"),
    path("risk/", risk_views.organisations, name="risk"),
    path("risk/new/", risk_views.make_organisation, name="make-organisation"),
    path("risk/entities/<int:pk>/", risk_views.entity, name="entity"),
    path("risk/entities/<int:pk>/picture/", risk_views.entity_picture, name="entity-picture"),
    path("risk/entities/<int:pk>/place/", risk_views.place_entity, name="place-entity"),
    path("risk/<slug:slug>/", risk_views.organisation, name="organisation"),
    path("risk/<slug:slug>/budget/", risk_views.change_budget, name="change-budget"),
]
