select
    key as asset,
    partition,
    role,
    engine,
    model,
    size,
    requests as n_requests,
    asked as n_asked,
    reused as n_reused,
    failed as n_failed,
    all_asked as n_asked_in_all_runs,
    all_failed as n_failed_in_all_runs,
    all_prompt_tokens as prompt_tokens,
    all_completion_tokens as completion_tokens,
    all_cost as cost,
    all_seconds as seconds
from {{ source('lake', 'generation') }}
