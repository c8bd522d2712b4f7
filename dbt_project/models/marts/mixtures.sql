select
    draws.plan,
    draws.seed,
    draws.cluster,
    documents.package,
    count(*)::bigint as n_draws,
    sum(draws.n_tokens)::bigint as n_tokens,
    (sum(draws.n_tokens) / sum(sum(draws.n_tokens)) over (partition by draws.plan, draws.seed))::double as share,
    avg(draws.repetition)::double as mean_repetition,
    max(draws.repetition)::bigint as max_repetition,
    count(*) filter (where draws.is_fallback)::bigint as n_fallback_draws
from {{ ref('stg_sampling_plan') }} as draws
left join {{ ref('stg_documents') }} as documents on draws.document_id = documents.document_id
group by draws.plan, draws.seed, draws.cluster, documents.package
