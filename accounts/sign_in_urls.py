"""Sign-in pages of allauth that this house uses: no sign-up, nothing by mail. Names are allauth's own."""

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from csp.decorators import csp_update
from django.urls import path
from django.views.decorators.http import require_http_methods, require_POST, require_safe

form_page = require_http_methods(["GET", "HEAD", "POST"])  # Django's form views would take PUT as well
qr_code = csp_update({"img-src": ["data:"]})  # the code is drawn into the page and exists nowhere else

urlpatterns = [
    path("accounts/login/", form_page(account.login), name="account_login"),
    path("accounts/logout/", require_POST(account.logout), name="account_logout"),
    path("accounts/inactive/", require_safe(account.account_inactive), name="account_inactive"),
    path("accounts/reauthenticate/", form_page(account.reauthenticate), name="account_reauthenticate"),
    path("accounts/password/", form_page(account.password_change), name="account_change_password"),
    path("accounts/2fa/", require_safe(mfa.index), name="mfa_index"),
    path("accounts/2fa/authenticate/", form_page(mfa.authenticate), name="mfa_authenticate"),
    path("accounts/2fa/reauthenticate/", form_page(mfa.reauthenticate), name="mfa_reauthenticate"),
    path("accounts/2fa/totp/activate/", qr_code(form_page(totp.activate_totp)), name="mfa_activate_totp"),
    path("accounts/2fa/totp/deactivate/", form_page(totp.deactivate_totp), name="mfa_deactivate_totp"),
    path(
        "accounts/2fa/recovery-codes/",
        require_safe(recovery_codes.view_recovery_codes),
        name="mfa_view_recovery_codes",
    ),
    path(
        "accounts/2fa/recovery-codes/generate/",
        form_page(recovery_codes.generate_recovery_codes),
        name="mfa_generate_recovery_codes",
    ),
    path(
        "accounts/2fa/recovery-codes/download/",
        require_safe(recovery_codes.download_recovery_codes),
        name="mfa_download_recovery_codes",
    ),
]
