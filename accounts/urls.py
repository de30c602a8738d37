"""Addresses of this room's pages."""

from django.urls import path

from accounts import views

app_name = "accounts"
urlpatterns = [
    path("me/", views.me, name="me"),
    path("me/preferences/", views.choose_preferences, name="choose-preferences"),
    path("me/theme/", views.choose_theme, name="choose-theme"),
    path("users/", views.users, name="users"),
    path("users/new/", views.create_user, name="create-user"),
    path("users/<int:pk>/role/", views.change_role, name="change-role"),
    path("users/<int:pk>/disable/", views.disable_user, name="disable-user"),
    path("users/<int:pk>/enable/", views.enable_user, name="enable-user"),
    path("users/<int:pk>/password/", views.reset_password, name="reset-password"),
    path("users/<int:pk>/second-factor/", views.reset_second_factor, name="reset-second-factor"),
    path("tokens/", views.tokens, name="tokens"),
    path("tokens/new/", views.create_token, name="create-token"),
    path("tokens/<int:pk>/revoke/", views.revoke_token, name="revoke-token"),
    path("me/tokens/new/", views.create_own_token, name="create-own-token"),
    path("audit/", views.audit, name="audit"),
]
