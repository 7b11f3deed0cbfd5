"""What to write into nginx.conf so that its requests are seen. For ``homeostat instrument nginx``."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from homeostat.drivers.nginx.sensors import LOG_FORMAT

MODULE: Final = "ngx_otel_module.so"
_USUAL: Final = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/etc/nginx/modules")
_WITHIN_S: Final = 5.0


def configuration(service: str, endpoint: str, *, nginx: str | None = None) -> str:
    """The lines, with comments that say where they belong."""
    module = module_path(nginx or shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin"))
    name = json.dumps(service)
    if module is not None:
        return f"""# at the top of nginx.conf
load_module {module};
# within http {{ }}
otel_exporter {{ endpoint {endpoint}; }}
otel_service_name {name};
otel_trace on;
otel_trace_context propagate;"""
    return f"""# nginx's OpenTelemetry module ({MODULE}) is not here: Homeostat reads the access log instead.
# within http {{ }}
{LOG_FORMAT}
access_log /var/log/nginx/homeostat.log homeostat;

# and in homeostat.yaml
# watch:
#   nginx:
#     - access_log: /var/log/nginx/homeostat.log
#       service: {name}"""


def module_path(nginx: str | None) -> Path | None:
    """Where the OpenTelemetry module is; None: nowhere that nginx looks."""
    folders = list(_USUAL)
    if nginx is not None:
        try:
            told = subprocess.run(
                [nginx, "-V"], capture_output=True, text=True, timeout=_WITHIN_S, check=False
            ).stderr
            folders[:0] = re.findall(r"--modules-path=(\S+)", told)
        except (OSError, subprocess.SubprocessError):
            pass  # an nginx that does not start: the usual folders are looked at all the same
    found = (Path(folder) / MODULE for folder in folders)
    return next((path for path in found if path.exists()), None)
