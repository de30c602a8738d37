"""Addresses of this room's pages."""

from django.urls import URLPattern

app_name = "models_registry"
urlpatterns: list[URLPattern] = []
