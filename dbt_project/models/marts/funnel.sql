with rows_by_outcome as (
    select
        asset,
        outcome,
        reason,
        count(distinct partition)::bigint as n_partitions,
        sum(n_rows)::bigint as n_rows
    from {{ ref('stg_ledgers') }}
    group by asset, outcome, reason
)

select
    asset,
    outcome,
    reason,
    n_partitions,
    n_rows,
    (n_rows / nullif(max(n_rows) filter (where outcome = 'in') over (partition by asset), 0))::double as share
from rows_by_outcome
