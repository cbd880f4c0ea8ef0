"""The simulated worlds in Gymnasium's registry: importing this package registers them.

    autopilot/Fleet-v0      one fleet of game servers; keywords: horizon, steps, and FleetConfig's fields
    autopilot/Service-v0    one web service; keywords: ServiceConfig's fields, such as faithful=True

`gymnasium.make` makes one, `gymnasium.make_vec` as many as asked for, stepped together in one array. Both render as
`ansi` and `rgb_array`. `seed_observation` has wrappers that show what the known examples' agents see.
"""

import gymnasium

FLEET, SERVICE = "autopilot/Fleet-v0", "autopilot/Service-v0"

for _name, _module in ((FLEET, "fleet"), (SERVICE, "service")):
    gymnasium.register(
        id=_name,
        entry_point=f"autopilot.environments.{_module}:single",
        vector_entry_point=f"autopilot.environments.{_module}:vector",
    )
