select
    asset,
    role,
    engine,
    model,
    size,
    count(*) as n_partitions,
    sum(n_requests)::bigint as n_requests,
    sum(n_asked)::bigint as n_asked,
    sum(n_reused)::bigint as n_reused,
    sum(n_failed)::bigint as n_failed,
    sum(n_asked_in_all_runs)::bigint as n_asked_in_all_runs,
    sum(n_failed_in_all_runs)::bigint as n_failed_in_all_runs,
    sum(prompt_tokens)::bigint as prompt_tokens,
    sum(completion_tokens)::bigint as completion_tokens,
    case when count(cost) = count(*) then sum(cost) end as cost,
    sum(seconds) as seconds
from {{ ref('stg_generation') }}
group by asset, role, engine, model, size
