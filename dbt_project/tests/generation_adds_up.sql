select
    asset,
    role,
    model,
    n_requests,
    n_asked,
    n_reused,
    n_failed,
    n_asked_in_all_runs
from {{ ref('generation_costs') }}
where
    n_requests <> n_asked + n_reused + n_failed
    or n_asked > n_asked_in_all_runs
